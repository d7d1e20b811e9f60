// Package settle is the root of Settle: durable stablecoin payments. There is
// no code here; the folders are the design, and each one's doc.go states its
// job. Start with payment, then workflows, then chains. architecture_test.go
// holds the rules of who may import whom.
package settle
