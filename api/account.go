package api

import (
	"context"
	"net/http"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
)

func (s *Server) registerAccount() {
	register(s.api, operation{
		method: http.MethodGet, path: "/v1/balances", id: "list-balances", tag: "Account", scope: BalancesRead,
		summary: "List your balances", description: "Of the mode of the key: what is deposited for test mode is spent in test mode only.",
	}, s.balances)
}

// BalanceList is the balance of every asset.
type BalanceList struct {
	Page
	Data []Balance `json:"data"`
}

type balancesOutput struct{ Body BalanceList }

func (s *Server) balances(ctx context.Context, _ *struct{}) (*balancesOutput, error) {
	out := BalanceList{Page: Page{Object: "list"}, Data: []Balance{}}
	who := caller(ctx)
	for _, code := range payment.AssetCodes() {
		asset, _ := payment.AssetByCode(code)
		b, err := ledger.MerchantBalance(ctx, s.store, ledger.Holder{MerchantID: who.ID, Mode: who.Key.Mode}, asset)
		if err != nil {
			return nil, err
		}
		out.Data = append(out.Data, balanceOf(asset, b.Available, b.Held))
	}
	return &balancesOutput{out}, nil
}
