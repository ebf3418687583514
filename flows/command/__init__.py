"""The `animatic` command: parse, ask, show. It imports a flow only inside the command that runs one."""
