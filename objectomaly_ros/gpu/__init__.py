"""The paper on the GPU: each file is the twin of its namesake in the package root."""
