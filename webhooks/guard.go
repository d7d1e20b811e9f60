package webhooks

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"

	"github.com/settlehq/settle/payment"
)

// Errors of a Guard, wrapped with what was refused.
var (
	// ErrAddressRefused means that a URL resolved to an address or port that
	// webhooks may not be sent to.
	ErrAddressRefused = errors.New("webhook address refused")
	// ErrURL means that a URL cannot be a webhook endpoint at all.
	ErrURL = errors.New("webhook url")
)

// Guard decides which addresses webhooks may reach: the public internet on
// port 443, and what the operator adds. The zero value allows nothing more.
type Guard struct {
	// AllowCIDRs are networks that may be reached whatever they are, on any
	// port, and over plain http in test mode. Operator configuration only.
	AllowCIDRs []netip.Prefix
	// AllowPorts are ports besides 443 that may be reached on the internet.
	AllowPorts []uint16

	plain bool // the connection has no TLS
}

// refused lists what is not the public internet, from the IANA registries of
// special-purpose addresses. IPv6 needs less: everything outside 2000::/3
// (loopback, fc00::/7, fe80::/10, ff00::/8, NAT64 64:ff9b::/96, 100::/64,
// v4-mapped, ...) is refused without being listed.
var refused = []struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.31.196.0/24"), "AS112"},
	{netip.MustParsePrefix("192.52.193.0/24"), "AMT relay"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("192.175.48.0/24"), "AS112"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments (Teredo, ORCHID, benchmarking)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "AS112"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
}

var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// Check returns nil if a connection to target may be made, otherwise an error
// that wraps ErrAddressRefused and says why.
func (g Guard) Check(target netip.AddrPort) error {
	addr := target.Addr()
	if g.allows(addr) {
		return nil
	}
	if g.plain {
		return fmt.Errorf("%w: %s over plain http, use https", ErrAddressRefused, addr)
	}
	if why := special(addr); why != "" {
		return fmt.Errorf("%w: %s is not on the public internet (%s)", ErrAddressRefused, addr, why)
	}
	if !g.allowsPort(target.Port()) {
		return fmt.Errorf("%w: port %d of %s, use 443", ErrAddressRefused, target.Port(), addr)
	}
	return nil
}

// Control is for net.Dialer.Control, which is called with the resolved address
// of every dial, after DNS and before the first packet.
func (g Guard) Control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: network %s", ErrAddressRefused, network)
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s is not a resolved address", ErrAddressRefused, address)
	}
	return g.Check(target)
}

// CheckURL returns nil if raw may be stored as an endpoint of the given mode,
// otherwise an error that wraps ErrURL or ErrAddressRefused. It looks at the
// text only, so that a merchant gets an early answer; names are resolved and
// judged at each dial.
func (g Guard) CheckURL(mode payment.Mode, raw string) error {
	if len(raw) > maxURLBytes {
		return fmt.Errorf("%w: longer than %d bytes", ErrURL, maxURLBytes)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%w: cannot be parsed", ErrURL)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%w: scheme %q, use https", ErrURL, u.Scheme)
	case u.Hostname() == "":
		return fmt.Errorf("%w: has no host", ErrURL)
	case u.User != nil:
		return fmt.Errorf("%w: may not contain a user or password; the signature authenticates us", ErrURL)
	case u.Fragment != "":
		return fmt.Errorf("%w: may not contain a fragment", ErrURL)
	}
	guard := g
	if u.Scheme == "http" {
		guard = g.withoutTLS()
		if mode != payment.Test {
			return fmt.Errorf("%w: http in %s mode, use https", ErrURL, mode)
		}
		if len(g.AllowCIDRs) == 0 {
			return fmt.Errorf("%w: http needs a network that the operator allows, use https", ErrURL)
		}
	}
	port, err := urlPort(u)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil { // a name: what it resolves to is judged when it is dialled
		if len(g.AllowCIDRs) == 0 && !g.allowsPort(port) {
			return fmt.Errorf("%w: port %d, use 443", ErrAddressRefused, port)
		}
		return nil
	}
	return guard.Check(netip.AddrPortFrom(addr, port))
}

// withoutTLS narrows the guard for plain http, which may reach nothing but the
// allowed networks.
func (g Guard) withoutTLS() Guard {
	g.plain = true
	return g
}

func urlPort(u *url.URL) (uint16, error) {
	switch {
	case u.Port() != "":
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return 0, fmt.Errorf("%w: port %q", ErrURL, u.Port())
		}
		return uint16(port), nil
	case u.Scheme == "http":
		return 80, nil
	default:
		return 443, nil
	}
}

func (g Guard) allows(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(g.AllowCIDRs, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (g Guard) allowsPort(port uint16) bool {
	return port == 443 || slices.Contains(g.AllowPorts, port)
}

// special says why an address is not on the public internet; "" if it is.
func special(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return "no address"
	case addr.Is4In6():
		return "IPv4-mapped"
	case addr.Zone() != "":
		return "has a zone"
	case addr.Is6() && !globalUnicast6.Contains(addr):
		return "outside 2000::/3"
	}
	for _, r := range refused {
		if r.prefix.Contains(addr) {
			return r.why
		}
	}
	return ""
}
