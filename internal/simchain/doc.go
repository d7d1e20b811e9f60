// Package simchain is what simulated nodes have in common: a JSON-RPC server
// on the loopback interface, with faults that its owner decides on request by
// request. The chains themselves are in the packages below it, one for each
// family; they know what a call means, this package only how it travels.
//
//	s := simchain.Start(func(c simchain.Call) (any, error) { ... })
//	defer s.Close()
//	s.Strike(func([]simchain.Call) simchain.Fault { return simchain.Fault{Status: 503} })
//
// Nothing here waits or has a clock: a node that "hangs" closes the connection,
// so that a test of many thousand steps takes no time for it.
package simchain
