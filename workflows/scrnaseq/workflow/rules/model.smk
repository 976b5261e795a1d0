# The model of the counts: take it from the configuration or select it, fit it, apply it.


rule model:
    output:
        "results/model.json",
    log:
        "logs/model.log",
    benchmark:
        "benchmarks/model.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 1
    params:
        model=config["model"],
    script:
        "../scripts/model.py"


rule select:
    input:
        "results/merged.h5ad",
    output:
        table=report(
            "results/select/scores.csv",
            caption="../report/select.rst",
            category="2 Model",
        ),
        plot=report(
            "results/select/scores.png",
            caption="../report/select.rst",
            category="2 Model",
        ),
        model="results/select/model.json",
    log:
        "logs/select.log",
    benchmark:
        "benchmarks/select.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 4
    resources:
        mem_mb=memory(20),
        runtime=720,
    params:
        presets=",".join(config["select"]["presets"]),
        batch=batch_option(),
        seed=config["random_state"],
    shell:
        "scae select {input} --presets {params.presets} {params.batch} --random-state {params.seed} --threads {threads}"
        " --out {output.table} --plot {output.plot} --save-config {output.model} > {log} 2>&1"


rule fit:
    input:
        counts="results/merged.h5ad",
        model=model_file,
    output:
        model="results/model.scae",
        summary="results/fit.json",
    log:
        "logs/fit.log",
    benchmark:
        "benchmarks/fit.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 4
    resources:
        mem_mb=memory(20),
        runtime=720,
    params:
        batch=batch_option(),
        seed=config["random_state"],
        checkpoints="checkpoints/fit",  # not an output: a job that was killed goes on from there
    shell:
        "scae fit {input.counts} {output.model} --config {input.model} {params.batch} --random-state {params.seed}"
        " --threads {threads} --checkpoint {params.checkpoints} --json > {output.summary} 2> {log}"
        " && rm -rf {params.checkpoints}"


rule embed:
    input:
        counts="results/merged.h5ad",
        model="results/model.scae",
    output:
        temp("results/embedded.h5ad"),
    log:
        "logs/embed.log",
    benchmark:
        "benchmarks/embed.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 4
    resources:
        mem_mb=memory(20),
    shell:
        "scae embed {input.counts} {output} --model {input.model} --threads {threads} 2> {log}"


rule denoise:
    input:
        cells="results/embedded.h5ad",
        model="results/model.scae",
    output:
        temp("results/denoised.h5ad"),
    log:
        "logs/denoise.log",
    benchmark:
        "benchmarks/denoise.tsv"
    conda:
        "../envs/scae.yaml"
    threads: 4
    resources:
        mem_mb=memory(60),
    params:
        options=denoise_options(),
    shell:
        "scae denoise {input.cells} {output} --model {input.model} {params.options} --threads {threads} 2> {log}"
