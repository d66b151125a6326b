"""What the tests from outside are made of: the server process, an application (NA), a receiver of pushes, devices."""
