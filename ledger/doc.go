// Package ledger keeps the books: double-entry postings and holds, and the
// check that replays them. It is a thin Go face over the SQL functions of
// migrations/00002_ledger.sql, which hold the rules.
//
// Every account has one asset. "USDC" is what is owed to merchants;
// "USDC.ethereum" is what lies in a chain's treasury; "ETH" and "SOL" are the
// native coins that fees are paid in. A positive entry is a debit, a negative
// one a credit:
//
//	                    deposit   settle    network fee   fund treasury   fund gas
//	merchant_available     -         +                                              USDC
//	conversion:<chain>     +         -                                              USDC
//	conversion:<chain>     -         +                                              USDC.<chain>
//	custody:<chain>        +         -                         +                    USDC.<chain>
//	equity:<chain>                                             -             -      USDC.<chain>, native
//	gas_expense:<chain>              +            +                                 native
//	gas_tank:<chain>                 -            -                          +      native
//
// Invariants:
//   - Every transfer sums to zero per asset, and is never changed or deleted.
//   - A merchant's available balance, posted less held, is never below zero.
//   - A hold is resolved at most once: posted when the payment is final, or
//     voided when it can provably not be made any more.
//   - Every posting has a reference. Posting it again with the same content is
//     no error and changes nothing; with other content it is
//     [ErrReferenceConflict], which needs a person.
//   - Postings happen in the transaction of the state change they belong to.
//
// Callers: activities, api, cmd/settle.
package ledger
