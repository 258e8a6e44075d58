"""MkDocs calls these: the menu and the pages made from the checkout join those written by hand."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.make import pages
from docs.make.repository import ROOT


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the menu."""
    config.nav = pages.navigation()
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are made, in place of the texts of methods that they contain."""
    made = pages.site()
    for name, text in made.pages.items():
        known = files.get_file_from_path(name)
        if known is not None:
            files.remove(known)
        files.append(File.generated(config, name, content=text))
    for picture in sorted(made.pictures):
        where = str(ROOT / picture)
        files.append(File.generated(config, f"files/{picture}", abs_src_path=where))
    return files
