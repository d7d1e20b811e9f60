-- name: InsertWallet :exec
INSERT INTO wallets (chain, address, role) VALUES (@chain, @address, @role) ON CONFLICT (chain, address, role) DO NOTHING;

-- name: InsertLane :execrows
INSERT INTO lanes (chain, address, next_nonce, max_in_flight) VALUES (@chain, @address, @next_nonce, @max_in_flight)
ON CONFLICT (chain, address) DO NOTHING;

-- name: LockLane :one
SELECT * FROM lanes WHERE chain = @chain AND address = @address FOR NO KEY UPDATE;

-- name: SetLaneLimit :exec
UPDATE lanes SET max_in_flight = @max_in_flight, updated_at = clock_timestamp()
 WHERE chain = @chain AND address = @address AND max_in_flight <> @max_in_flight;

-- name: FreezeLane :exec
UPDATE lanes SET state = 'frozen', updated_at = clock_timestamp() WHERE chain = @chain AND address = @address;
