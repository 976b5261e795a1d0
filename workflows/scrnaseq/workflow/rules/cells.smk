# Neighbours, clusters, UMAP and marker genes.


rule cluster:
    input:
        "results/denoised.h5ad",
    output:
        adata="results/adata.h5ad",
        plot=report(
            "results/umap.png", caption="../report/umap.rst", category="3 Clusters"
        ),
    log:
        "logs/cluster.log",
    benchmark:
        "benchmarks/cluster.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 4
    resources:
        mem_mb=memory(10),
        runtime=240,
    params:
        covariates=covariates(),
        n_neighbors=config["clusters"]["n_neighbors"],
        resolution=config["clusters"]["resolution"],
        seed=config["random_state"],
    script:
        "../scripts/cluster.py"


rule markers:
    input:
        "results/adata.h5ad",
    output:
        table=report(
            "results/markers.tsv",
            caption="../report/markers.rst",
            category="4 Marker genes",
        ),
        plot=report(
            "results/markers.png",
            caption="../report/markers.rst",
            category="4 Marker genes",
        ),
    log:
        "logs/markers.log",
    benchmark:
        "benchmarks/markers.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    resources:
        mem_mb=memory(10),
    params:
        method=config["markers"]["method"],
        n_genes=config["markers"]["n_genes"],
        max_adjusted_p=config["markers"]["max_adjusted_p"],
    script:
        "../scripts/markers.py"
