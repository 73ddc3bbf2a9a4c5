"""Gates of a team's own: functions and commands."""
