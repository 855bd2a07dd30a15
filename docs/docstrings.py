"""Teach the API reference how docstrings are written here: as SpeechBrain's."""

import re

import griffe

HEADINGS = {"Arguments": "Parameters", "Example": "Examples"}


class Headings(griffe.Extension):
    """Rename the headings to NumPy's, which is what griffe reads."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rename those of one object."""
        if obj.docstring is not None:
            text = re.sub(
                r"^(Arguments|Example)\n-+$",
                lambda found: f"{HEADINGS[found[1]]}\n---",
                obj.docstring.value,
                flags=re.M,
            )
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.M)
