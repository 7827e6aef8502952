"""Role-based access control: rules, the authorizer, the default roles and bindings."""
