package webhooks_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

func TestGuardRefusesEverythingThatIsNotThePublicInternet(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{
		// this host, loopback, private, link-local and its cloud metadata
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
		"192.168.0.1", "192.168.255.255", "169.254.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "100.127.255.255",
		// protocol assignments, documentation, benchmarking, relays
		"192.0.0.1", "192.0.0.170", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255",
		"192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1",
		// multicast, reserved, broadcast
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		// the same in IPv6
		"::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fdff:ffff::1",
		"ff02::1", "ff0e::1", "100::1", "100:0:0:1::1", "5f00::1", "1::1", "4000::1", "8000::1", "e000::1",
		"2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff::1", "2001:db8::1", "3fff::1", "3fff:fff::1", "2620:4f:8000::1",
		// IPv4 inside IPv6: mapped, compatible, translated, NAT64, 6to4, whether public or not
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::1", "2002:808:808::1",
		// public, with a zone
		"2606:4700::1111%eth0",
	} {
		target := netip.AddrPortFrom(netip.MustParseAddr(addr), 443)
		if err := (webhooks.Guard{}).Check(target); !errors.Is(err, webhooks.ErrAddressRefused) {
			t.Errorf("%s: %v, want refused", addr, err)
		}
		// an operator's network for something else changes nothing
		other := webhooks.Guard{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("11.0.0.0/8")}, AllowPorts: []uint16{8443}}
		if err := other.Check(target); !errors.Is(err, webhooks.ErrAddressRefused) {
			t.Errorf("%s with another network allowed: %v, want refused", addr, err)
		}
	}
	if err := (webhooks.Guard{}).Check(netip.AddrPort{}); !errors.Is(err, webhooks.ErrAddressRefused) {
		t.Errorf("no address: %v, want refused", err)
	}
}

func TestGuardAllows(t *testing.T) {
	t.Parallel()
	open := webhooks.Guard{
		AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")},
		AllowPorts: []uint16{8443},
	}
	for _, c := range []struct {
		name   string
		guard  webhooks.Guard
		target string
		ok     bool
	}{
		{"public v4", webhooks.Guard{}, "8.8.8.8:443", true},
		{"public v4 next to private", webhooks.Guard{}, "172.32.0.1:443", true},
		{"public v4 next to CGNAT", webhooks.Guard{}, "100.128.0.1:443", true},
		{"public v6", webhooks.Guard{}, "[2606:4700::1111]:443", true},
		{"public v6 next to assignments", webhooks.Guard{}, "[2001:200::1]:443", true},
		{"port 80", webhooks.Guard{}, "8.8.8.8:80", false},
		{"port 22", webhooks.Guard{}, "8.8.8.8:22", false},
		{"port 6379", webhooks.Guard{}, "[2606:4700::1111]:6379", false},
		{"extra port", open, "8.8.8.8:8443", true},
		{"extra port does not open private", open, "10.2.0.1:8443", false},
		{"allowed network, any port", open, "10.1.2.3:9000", true},
		{"allowed network, mapped", open, "[::ffff:10.1.2.3]:9000", true},
		{"allowed v6 network", open, "[fd00:1::5]:80", true},
		{"outside the allowed network", open, "10.2.0.1:443", false},
		{"outside the allowed v6 network", open, "[fd00:2::5]:443", false},
	} {
		if err := c.guard.Check(netip.MustParseAddrPort(c.target)); (err == nil) != c.ok {
			t.Errorf("%s: %s: %v, want ok %t", c.name, c.target, err, c.ok)
		}
	}
}

func TestControlTakesResolvedTCPAddressesOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		network, address string
		ok               bool
	}{
		{"tcp4", "8.8.8.8:443", true},
		{"tcp6", "[2606:4700::1111]:443", true},
		{"tcp4", "127.0.0.1:443", false},
		{"tcp6", "[::1]:443", false},
		{"tcp6", "[fe80::1%lo]:443", false},
		{"udp4", "8.8.8.8:443", false},
		{"unix", "/var/run/docker.sock", false},
		{"tcp4", "example.com:443", false},
	} {
		if err := (webhooks.Guard{}).Control(c.network, c.address, nil); (err == nil) != c.ok {
			t.Errorf("%s %s: %v, want ok %t", c.network, c.address, err, c.ok)
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	none := webhooks.Guard{}
	lab := webhooks.Guard{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, c := range []struct {
		guard webhooks.Guard
		mode  payment.Mode
		url   string
		want  error
	}{
		{none, payment.Live, "https://example.com/hook?x=1", nil},
		{none, payment.Test, "https://example.com", nil},
		{none, payment.Live, "https://8.8.8.8/", nil},
		{none, payment.Live, "http://example.com/", webhooks.ErrURL},
		{none, payment.Test, "http://example.com/", webhooks.ErrURL},
		{lab, payment.Live, "http://127.0.0.1:9000/", webhooks.ErrURL},
		{lab, payment.Live, "https://127.0.0.1:9000/", nil},
		{lab, payment.Test, "http://127.0.0.1:9000/", nil},
		{lab, payment.Test, "http://receiver:9000/", nil},
		{lab, payment.Test, "http://8.8.8.8/", webhooks.ErrAddressRefused},
		{lab, payment.Test, "http://8.8.8.8:443/", webhooks.ErrAddressRefused},
		{none, payment.Live, "https://127.0.0.1/", webhooks.ErrAddressRefused},
		{none, payment.Live, "https://[::1]/", webhooks.ErrAddressRefused},
		{none, payment.Live, "https://169.254.169.254/latest/meta-data", webhooks.ErrAddressRefused},
		{none, payment.Live, "https://8.8.8.8:22/", webhooks.ErrAddressRefused},
		{none, payment.Live, "https://example.com:22/", webhooks.ErrAddressRefused},
		{webhooks.Guard{AllowPorts: []uint16{8443}}, payment.Live, "https://example.com:8443/", nil},
		{lab, payment.Live, "https://receiver:9000/", nil},
		{none, payment.Live, "https://example.com:0/", webhooks.ErrURL},
		{none, payment.Live, "https://user:pass@example.com/", webhooks.ErrURL},
		{none, payment.Live, "https://example.com/#top", webhooks.ErrURL},
		{none, payment.Live, "https:///path", webhooks.ErrURL},
		{none, payment.Live, "ftp://example.com/", webhooks.ErrURL},
		{none, payment.Live, "gopher://127.0.0.1:6379/_", webhooks.ErrURL},
		{none, payment.Live, "example.com", webhooks.ErrURL},
		{none, payment.Live, "https://exa mple.com", webhooks.ErrURL},
		{none, payment.Live, "", webhooks.ErrURL},
	} {
		if err := c.guard.CheckURL(c.mode, c.url); !errors.Is(err, c.want) {
			t.Errorf("%s %q: %v, want %v", c.mode, c.url, err, c.want)
		}
	}
}
