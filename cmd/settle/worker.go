package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/treasury"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/worker"
)

// authorizationValidity is how long a signed authorization may be submitted,
// where the chain lets us choose: long enough for any congestion, and bounded,
// so that a payment the network never takes becomes provably dead.
const authorizationValidity = 6 * time.Hour

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "Run payments: workflows, steps and the watchers of all chains",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p, err := open(ctx, config.Worker)
			if err != nil {
				return err
			}
			defer p.close()
			crash, err := crashAt(p.config.Environment, os.Getenv("SETTLE_CRASH_AT"))
			if err != nil {
				return err
			}
			keyring, err := treasury.LoadKeyring(p.config.KeysFile)
			if err != nil {
				return err
			}
			nets, err := p.networks(ctx, keyring)
			if err != nil {
				return err
			}
			desks := map[payment.Chain]*activities.Desk{}
			for _, n := range nets {
				if err := registerLanes(ctx, p, n.chain); err != nil {
					return err
				}
				desks[n.chain.Info().Name] = activities.NewDesk(n.chain, n.price, p.store, workerName(), p.log)
			}
			sealer, err := p.sealer()
			if err != nil {
				return err
			}
			sender := webhooks.NewSender(webhooks.SenderConfig{Guard: p.guard()})
			defer sender.Close()
			temporal, err := p.temporal()
			if err != nil {
				return err
			}
			defer temporal.Close()
			p.log.Info("worker ready", zap.String("task_queue", p.config.TaskQueue), zap.Int("chains", len(desks)))
			return worker.Run(ctx, temporal, &activities.Steps{
				Store: p.store, Desks: desks, Deliverer: webhooks.NewDeliverer(p.store, sealer, sender), Log: p.log,
				AuthorizationValidity: authorizationValidity, StalledAfter: p.config.StalledAfter, BatchWindow: p.config.BatchWindow, MaxBacklog: p.config.MaxBacklog, Crash: crash,
			}, worker.Options{
				TaskQueue: p.config.TaskQueue, Activities: p.config.WorkerActivities, LocalActivities: p.config.WorkerLocalActivities,
				WorkflowTasks: p.config.WorkerWorkflowTasks, Pollers: p.config.WorkerPollers, StopTimeout: p.config.WorkerStopTimeout, UpkeepEvery: p.config.UpkeepEvery,
			})
		},
	}
}
