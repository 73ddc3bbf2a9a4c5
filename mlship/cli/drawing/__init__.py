"""How a rollout is drawn, for its own terminal and for `mlship watch`: lines of text that fit a given terminal."""
