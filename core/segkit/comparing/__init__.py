"""Many recipes on the same images: sweep, leaderboard, diagnosis, robustness."""
