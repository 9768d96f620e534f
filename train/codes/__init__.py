"""What codes hold: who is on many photos, what each number of a code says, what a stolen code shows."""
