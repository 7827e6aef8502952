"""Role-based access control: what rules allow, who is bound to them, and the roles that are there from the start."""
