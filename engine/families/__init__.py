"""Model families: one folder each, found by the registry; the contract and what several of them share lie beside."""
