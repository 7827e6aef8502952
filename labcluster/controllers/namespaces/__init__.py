"""What a namespace gets when it is made, and how it is emptied when it goes."""
