"""What other people's trainings take from here, each file named after what it is for."""
