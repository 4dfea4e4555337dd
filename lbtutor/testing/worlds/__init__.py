"""The families: how to talk to what is tested, the model beside it, and the programs worth playing."""
