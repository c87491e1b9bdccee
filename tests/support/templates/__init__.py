"""Makes the editor files in workflows/ and subgraphs/ from the API files and the descriptions in catalogue/."""
