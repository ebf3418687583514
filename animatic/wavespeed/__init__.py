"""The WaveSpeed API: wire models, client, and how its failures become ours."""
