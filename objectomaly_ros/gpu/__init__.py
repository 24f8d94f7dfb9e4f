"""The paper on the GPU in plain torch: twins of the files of these names in the package root."""
