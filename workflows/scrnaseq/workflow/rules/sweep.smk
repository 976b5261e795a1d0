# Each preset at each latent size, scored on held-out molecules.


rule split:
    input:
        "results/merged.h5ad",
    output:
        temp("results/sweep/split.h5ad"),
    log:
        "logs/split.log",
    benchmark:
        "benchmarks/split.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    resources:
        mem_mb=memory(15),
    params:
        seed=config["random_state"],
    script:
        "../scripts/split.py"


rule sweep_model:
    output:
        "results/sweep/{preset}.{dim}/model.json",
    log:
        "logs/sweep_model/{preset}.{dim}.log",
    benchmark:
        "benchmarks/sweep_model/{preset}.{dim}.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    params:
        model=lambda wildcards: {
            "preset": wildcards.preset,
            "spec": {"bottleneck": {"dim": int(wildcards.dim)}},
            "plan": config["model"].get("plan"),
        },
    script:
        "../scripts/model.py"


rule sweep_denoise:
    input:
        counts="results/sweep/split.h5ad",
        model="results/sweep/{preset}.{dim}/model.json",
    output:
        temp("results/sweep/{preset}.{dim}/denoised.h5ad"),
    log:
        "logs/sweep_denoise/{preset}.{dim}.log",
    benchmark:
        "benchmarks/sweep_denoise/{preset}.{dim}.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 2
    resources:
        mem_mb=memory(40),
        runtime=720,
    params:
        seed=config["random_state"],
    shell:
        "scae denoise {input.counts} {output} --layer train --config {input.model} --random-state {params.seed}"
        " --threads {threads} 2> {log}"


rule score:
    input:
        "results/sweep/{preset}.{dim}/denoised.h5ad",
    output:
        "results/sweep/{preset}.{dim}/score.tsv",
    log:
        "logs/score/{preset}.{dim}.log",
    benchmark:
        "benchmarks/score/{preset}.{dim}.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    resources:
        mem_mb=memory(10),
    script:
        "../scripts/score.py"


rule sweep:
    input:
        sweep_points(),
    output:
        table=report(
            "results/sweep.tsv", caption="../report/sweep.rst", category="2 Model"
        ),
        plot=report(
            "results/sweep.png", caption="../report/sweep.rst", category="2 Model"
        ),
    log:
        "logs/sweep.log",
    benchmark:
        "benchmarks/sweep.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    script:
        "../scripts/sweep.py"
