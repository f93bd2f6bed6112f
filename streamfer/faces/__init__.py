"""Faces in frames: landmarks, tracks, people, pose, quality. `follower.Follower` puts the parts together."""
