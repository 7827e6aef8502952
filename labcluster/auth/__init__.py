"""Who may come in and what they may do: keys and certificates, tokens, roles."""
