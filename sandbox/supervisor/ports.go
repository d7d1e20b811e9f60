package supervisor

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"net"
)

// Ports are taken from below the range that Linux and macOS give to outgoing
// connections: while a part restarts, nothing else picks up its port by chance.
const (
	firstPort = 20000
	lastPort  = 31999
)

// assignPorts gives every name a free port: the one insisted on, else the one it
// had in this directory, else any.
func (d *directory) assignPorts(names []string, insisted map[string]int) error {
	taken := map[int]bool{}
	assigned := map[string]int{}
	for _, name := range names {
		if port := insisted[name]; port != 0 {
			if !free(port) || taken[port] {
				return fmt.Errorf("port %d, asked for as %s port, is in use", port, name)
			}
			assigned[name], taken[port] = port, true
		}
	}
	for _, name := range names {
		if assigned[name] != 0 {
			continue
		}
		port := d.state.Ports[name]
		if port == 0 || taken[port] || !free(port) {
			var err error
			if port, err = pick(taken); err != nil {
				return err
			}
		}
		assigned[name], taken[port] = port, true
	}
	for name, port := range assigned {
		d.state.Ports[name] = port
	}
	return d.saveState()
}

func pick(taken map[int]bool) (int, error) {
	for range 1000 {
		port := firstPort + mathrand.IntN(lastPort-firstPort+1)
		if !taken[port] && free(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

func free(port int) bool {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

func newInstance() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
