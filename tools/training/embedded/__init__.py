"""Parts of the embedded detector's training: data, outliers, pasting, losses, evaluation."""
