package keyring

import "github.com/axlehttp/axle/store"

// Ring is a keyring.
type Ring = ring

// SystemRing is the keyring of the system.
type SystemRing = systemRing

// Over makes a Persister of New use another keyring.
func Over(r Ring, p store.Persister) store.Persister {
	p.(*persister).items.ring = r
	return p
}
