//go:build race

// Package race tells tests whether the race detector is on: it makes pools forget, so that tests of
// allocation have nothing to say.
package race

// Enabled is true under -race.
const Enabled = true
