"""Our own server that speaks the WaveSpeed API on loopback and renders real clips for nothing."""
