// Package arch holds the rules of the house as one test: who may import whom, how large a file may be,
// what every filter's folder has. The layers are read from ARCHITECTURE.md.
package arch
