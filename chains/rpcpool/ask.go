package rpcpool

import (
	"context"
	"slices"
	"sync"
)

// Vote is what one node said, or that it did not.
type Vote[T any] struct {
	Node *Node
	Said T
	Err  error // then nothing was said
}

// Ask gets answers of count different nodes, the best first and without those
// in except, concurrently. For a node that fails the next one is asked. There
// are fewer answers if there are not enough nodes; failures are in the result
// too.
func Ask[T any](ctx context.Context, p *Pool, count int, except []*Node, fn func(context.Context, *Node) (T, error)) []Vote[T] {
	left := slices.DeleteFunc(p.readable(), func(n *Node) bool { return slices.Contains(except, n) })
	var votes []Vote[T]
	for answered := 0; answered < count && len(left) > 0 && ctx.Err() == nil; {
		wave := make([]Vote[T], min(count-answered, len(left)))
		var all sync.WaitGroup
		for i := range wave {
			n := left[i]
			all.Go(func() {
				wave[i].Node = n
				if wave[i].Err = n.identify(ctx); wave[i].Err == nil {
					wave[i].Said, wave[i].Err = fn(ctx, n)
				}
			})
		}
		all.Wait()
		left = left[len(wave):]
		for _, v := range wave {
			if v.Err == nil {
				answered++
			}
		}
		votes = append(votes, wave...)
	}
	return votes
}

// Truth is what several nodes together say about a question of yes or no.
type Truth string

// Truths.
const (
	Yes     Truth = "yes"
	No      Truth = "no"
	Unclear Truth = "unknown" // too few answers, or they contradict each other
)

// Tally counts votes: an answer that need nodes gave, while fewer gave the
// other one.
func Tally(votes []Vote[bool], need int) Truth {
	yes, no := 0, 0
	for _, v := range votes {
		switch {
		case v.Err != nil:
		case v.Said:
			yes++
		default:
			no++
		}
	}
	switch {
	case yes >= need && no < need:
		return Yes
	case no >= need && yes < need:
		return No
	}
	return Unclear
}

// Broadcast runs fn on every node at once, but for those of another network,
// and returns the answers when one satisfies enough, or all are in. It goes on
// when the caller gives up, CallTimeout at most: what has begun to leave is
// better everywhere than at one node. A node with an open breaker fails at
// once; a node that lags is asked too, since it passes on what it gets.
func Broadcast[T any](ctx context.Context, p *Pool, fn func(context.Context, *Node) T, enough func(T) bool) []T {
	nodes := slices.DeleteFunc(slices.Clone(p.nodes), func(n *Node) bool { return n.snapshot().identity == differs })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.CallTimeout)
	answers := make(chan T, len(nodes))
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() { answers <- fn(ctx, n) })
	}
	go func() {
		all.Wait()
		cancel()
	}()
	var out []T
	for range nodes {
		a := <-answers
		out = append(out, a)
		if enough(a) {
			break
		}
	}
	return out
}
