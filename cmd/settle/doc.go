// Command settle is the one binary of Settle: the API and worker processes,
// the migrations, the check of the books, and the commands an operator or a
// merchant uses from a terminal. It only wires packages together; what they do
// is theirs.
package main
