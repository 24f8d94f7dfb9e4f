"""How the product reads and writes files: whole or not at all, regular files, bounded sizes."""
