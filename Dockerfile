FROM golang:1.26-bookworm AS build
WORKDIR /src
ENV GOWORK=off CGO_ENABLED=0
COPY go.mod go.sum ./
RUN go mod download github.com/gin-gonic/gin go.temporal.io/sdk github.com/jackc/pgx/v5
COPY . .
RUN go build -trimpath -ldflags='-s -w' -o /settle ./cmd/settle

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /settle /settle
USER nonroot
ENTRYPOINT ["/settle"]
