"""The configuration: its schema, its sample, reading and checking it.

Shows `schema` (keys, defaults and the frozen classes such as `Config`), `loader.load`,
`loader.examine`, `sample.sample` and `overrides.load_overrides`.

Must not know what uses a value; of models it knows only their names.
"""
