"""The configuration: its schema, its sample, reading and checking it.

Shows `schema` (keys, defaults and the frozen classes such as `Config`), `loader.load`,
`loader.examine`, `sample.sample`, `overrides.load_overrides` and `schedule.Schedule`.

Must not know what uses a value; of models it knows only their names.
"""
