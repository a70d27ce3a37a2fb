"""Map the five top-level folders into one import name, ``butwait``.

Each bare folder name is somebody's distribution already, so nothing is installed under it.
All other metadata is in pyproject.toml.
"""

from setuptools import find_packages, setup

FOLDERS = ("schemas", "transforms", "pipelines", "trainer", "evals")

packages = [
    f"butwait.{folder}{'.' + sub if sub else ''}"
    for folder in FOLDERS
    for sub in ["", *find_packages(folder)]
]

setup(
    packages=packages,
    package_dir={f"butwait.{folder}": folder for folder in FOLDERS},
)
