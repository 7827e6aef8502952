"""The endpoints of Services, in both of their forms."""
