# From samples in any of three formats to the checked, filtered counts of all cells in one file.


rule read_sample:
    input:
        lambda wildcards: samples[wildcards.sample]["path"],
    output:
        temp("results/samples/{sample}.raw.h5ad"),
    log:
        "logs/read_sample/{sample}.log",
    benchmark:
        "benchmarks/read_sample/{sample}.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    resources:
        mem_mb=memory(10),
    params:
        format=lambda wildcards: samples[wildcards.sample]["format"],
        mito_prefix=config["cells"]["mito_prefix"],
    script:
        "../scripts/read_sample.py"


rule check:
    input:
        "results/samples/{sample}.raw.h5ad",
    output:
        "results/samples/{sample}.check.txt",
    log:
        "logs/check/{sample}.log",
    benchmark:
        "benchmarks/check/{sample}.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    resources:
        mem_mb=memory(10),
    shell:
        "scae check {input} 2>&1 | tee {log} > {output}"


rule preprocess:
    input:
        counts="results/samples/{sample}.raw.h5ad",
        checked="results/samples/{sample}.check.txt",
    output:
        adata=temp("results/samples/{sample}.h5ad"),
        summary="results/samples/{sample}.json",
    log:
        "logs/preprocess/{sample}.log",
    benchmark:
        "benchmarks/preprocess/{sample}.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        min_genes=config["cells"]["min_genes"],
        n_top_genes=config["genes"]["n_top"],
    shell:
        "scae preprocess {input.counts} {output.adata} --qc-vars mt --min-genes {params.min_genes} --min-cells 0"
        " --n-top-genes {params.n_top_genes} --max-memory 3G --json > {output.summary} 2> {log}"


rule merge:
    input:
        adata=expand("results/samples/{sample}.h5ad", sample=samples),
        summaries=expand("results/samples/{sample}.json", sample=samples),
    output:
        adata="results/merged.h5ad",
        table=report(
            "results/cells.tsv",
            caption="../report/cells.rst",
            category="1 Cells",
        ),
        plot=report(
            "results/cells.png", caption="../report/cells.rst", category="1 Cells"
        ),
    log:
        "logs/merge.log",
    benchmark:
        "benchmarks/merge.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    resources:
        mem_mb=memory(10),
    params:
        samples=samples,
        covariates=covariates(),
        batch_key=config["batch_key"],
        max_pct_mito=config["cells"]["max_pct_mito"],
        genes=config["genes"],
    script:
        "../scripts/merge.py"
