package migrations_test
import ("testing";"context";"os";"github.com/settlehq/settle/migrations")
func TestX(t *testing.T){ v,err:=migrations.Up(context.Background(), os.Getenv("URL")); t.Log(v,err); if err!=nil {t.Fatal(err)} }
