"""What errors about files advise: commands for a shell, and what to do about a file that anndata cannot read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from ..errors import ModelFileError

RAW = "adata.raw.to_adata()"  # in messages: how to get at the counts in raw
_ENDINGS = "gz|bz2|xz|h5ad|zarr|h5|hdf5|h5mu|h5seurat|loom|rds|rdata|rda|mtx|csv|tsv|txt|tab"

_PACKAGES = {"yaml": "pyyaml", "skmisc": "scikit-misc", "sklearn": "scikit-learn", "umap": "umap-learn"}  # where names differ


def unreadable(path: object, fault: Exception) -> ModelFileError:
    """The error for a file that anndata cannot read: its reason, and what to do.

    Parameters
    ----------
    path : object
        The file, or a part of it.
    fault : Exception
        What anndata, h5py or zarr raised.

    Examples
    --------
    >>> str(unreadable("a.h5ad", ImportError("No module named 'awkward'")))
    "a.h5ad cannot be read as AnnData (No module named 'awkward'). Install what it needs: pip install awkward"
    """
    reason = (str(fault) or type(fault).__name__).splitlines()[0].rstrip(".")
    missing = re.search(r"cannot import name '(\w+)'|No module named '(\w+)'", reason)
    advice = "It must be a whole h5ad file or zarr store."
    if missing:
        advice = f"Install what it needs: pip install {_package(missing[1] or missing[2])}"
    elif "No read method registered" in reason:
        advice = "A newer anndata wrote it: update anndata, or ask for a file of an older one."
    return ModelFileError(f"{path} cannot be read as AnnData ({reason}). {advice}")


def install(fault: ModuleNotFoundError) -> str:
    """What to say of a module that is missing, and how to install it.

    Parameters
    ----------
    fault : ModuleNotFoundError
        What Python raised.

    Examples
    --------
    >>> install(ModuleNotFoundError("No module named 'yaml'", name="yaml"))
    'this needs the module yaml, which is not installed. Install it: pip install pyyaml'
    """
    module = (fault.name or str(fault)).partition(".")[0]
    return f"this needs the module {module}, which is not installed. Install it: pip install {_package(module)}"


def _package(module: str) -> str:
    return _PACKAGES.get(module, module)


def for_shell(message: str, path: str | Path | None) -> str:
    """Add to a message that sends the reader to ``raw`` of an AnnData the command that does it.

    Parameters
    ----------
    message : str
        Any message.
    path : str or Path, optional
        The file that it is about.

    Examples
    --------
    >>> for_shell("Pass adata.raw.to_adata().", "a.h5ad")  # doctest: +ELLIPSIS
    'Pass adata.raw.to_adata(). In a shell: python -c "import anndata; a = anndata.read_h5ad(\\'a.h5ad\\').raw.to_adata(); ...'
    """
    if RAW not in message or path is None:
        return message
    reader = "read_zarr" if Path(path).is_dir() else "read_h5ad"
    code = f"a = anndata.{reader}({str(path)!r}).raw.to_adata(); a.write_h5ad({target_of(Path(path), '-raw')!r})"
    return f"{message} In a shell: {command('python', 'import anndata; ' + code)}"


def command(program: str, code: str) -> str:
    """A command for a shell, in double quotes if nothing in it means something else between them.

    Parameters
    ----------
    program : str
        ``"python"`` or ``"Rscript"``.
    code : str
        What it is to run.

    Examples
    --------
    >>> print(command("python", "print('$HOME')"))
    python -c 'print('"'"'$HOME'"'"')'
    """
    option = {"python": "-c", "Rscript": "-e"}[program]
    return f"{program} {option} " + (shlex.quote(code) if set(code.replace(r"\t", "")) & set('"$`\\!') else f'"{code}"')


def target_of(path: Path, added: str = "-converted") -> str:
    """Name of an h5ad file beside a file: its own without the endings, or with something added if that is there already.

    Parameters
    ----------
    path : Path
        The file.
    added : str
        What to add.

    Examples
    --------
    >>> target_of(Path("counts.csv.gz"))
    'counts.h5ad'
    """
    stem = re.sub(rf"(?i)(\.({_ENDINGS}))+$", "", path.name) or path.name
    plain = path.with_name(f"{stem}.h5ad")
    return str(path.with_name(f"{stem}{added}.h5ad") if plain.exists() else plain)
