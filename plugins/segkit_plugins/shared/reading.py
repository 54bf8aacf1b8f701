"""Reading files that somebody else may have named: ordinary ones alone, and bounded."""

from __future__ import annotations

from segkit.values.files import sha256 as sha256
from segkit.values.reading import check_file as check_file
from segkit.values.reading import parsed_json as parsed_json
from segkit.values.reading import parsed_toml as parsed_toml
from segkit.values.reading import read_bytes as read_bytes
from segkit.values.reading import read_text as read_text
