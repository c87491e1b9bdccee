"""Small networks of audio against each other: what their blocks and their captions are worth."""
