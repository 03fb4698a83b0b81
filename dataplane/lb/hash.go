package lb

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// xx is xxHash64 with a seed.
func xx(key []byte, seed uint64) uint64 {
	if seed == 0 {
		return xxhash.Sum64(key)
	}
	d := xxhash.NewWithSeed(seed)
	_, _ = d.Write(key)
	return d.Sum64()
}

// murmurSeed is libstdc++'s, which Envoy's ring takes.
const murmurSeed = 0xc70f6907

// murmur2 is Austin Appleby's MurmurHash64A, as std::hash of libstdc++ is.
func murmur2(key []byte, seed uint64) uint64 {
	const m, r = 0xc6a4a7935bd1e995, 47
	h := seed ^ uint64(len(key))*m
	for ; len(key) >= 8; key = key[8:] {
		k := binary.LittleEndian.Uint64(key) * m
		k = (k ^ k>>r) * m
		h = (h ^ k) * m
	}
	if len(key) > 0 {
		tail := uint64(0)
		for i, b := range key {
			tail |= uint64(b) << (8 * i)
		}
		h = (h ^ tail) * m
	}
	h = (h ^ h>>r) * m
	return h ^ h>>r
}
