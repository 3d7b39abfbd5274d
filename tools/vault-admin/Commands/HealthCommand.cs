using System.CommandLine;
using System.Net;
using System.Text.Json;

namespace EventVault.Admin.Commands;

/// <summary><c>health</c>: asks the HTTP port of one node, as the health checks of containers do that have no shell and no curl.</summary>
internal static class HealthCommand
{
    // A health check is asked again soon; one that waits for long is no answer.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(4);

    // What the health check of an image is started with: one command line for nodes in clear text and under TLS.
    private const string AddressVariable = "EVENTVAULT_HTTP";
    private const string DefaultAddress = "http://127.0.0.1:7401";

    public static Command Create(GlobalOptions global)
    {
        var http = new Option<string>("--http")
        {
            Description = $"Address of the node's HTTP port; https for TLS, by a name of the node's certificate (--authority). Also by the variable {AddressVariable}.",
            HelpName = "address",
            DefaultValueFactory = _ => Environment.GetEnvironmentVariable(AddressVariable) is { Length: > 0 } set ? set : DefaultAddress,
        };
        var live = new Option<bool>("--live") { Description = "Ask whether the node lives, not whether it is ready to be used." };
        var command = new CommandWithExamples(
            "health", "Ask a node's HTTP port whether it is ready: exit code 0 if so, 6 if not, 5 if nobody answers.", "health", "health --live --http http://10.0.0.5:7401")
        { http, live };
        global.Run(command, async (parse, context) =>
        {
            if (parse.GetResult(global.Endpoint) is { Implicit: false })
            {
                throw new UsageException($"health asks a node's HTTP port, not its gRPC port: name it with {http.Name} instead of {global.Endpoint.Name}.");
            }

            var question = parse.GetValue(live) ? "/health/live" : "/health/ready";
            if (!Uri.TryCreate(parse.GetValue(http), UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            {
                throw new UsageException($"{http.Name} is {parse.GetValue(http)}; an address such as {DefaultAddress} is needed.");
            }

            return await AskAsync(context, new Uri(address, question));
        });
        return command;
    }

    private static async Task<int> AskAsync(CommandContext context, Uri address)
    {
        using var handler = new SocketsHttpHandler { SslOptions = context.Credentials.Value.Tls ?? new() };
        using var client = new HttpClient(handler) { Timeout = Limit };
        try
        {
            using var question = new HttpRequestMessage(HttpMethod.Get, address);
            if (context.Credentials.Value.User is { } user && (address.Scheme == Uri.UriSchemeHttps || address.IsLoopback))
            {
                // Reasons are told to who is known. Not in clear text over a network.
                question.Headers.TryAddWithoutValidation("Authorization", await user.AuthorizationAsync(context.Stop));
            }

            using var answer = await client.SendAsync(question, context.Stop);
            var text = await answer.Content.ReadAsStringAsync(context.Stop);
            Show(context.Output, answer.StatusCode, text);
            return answer.StatusCode == HttpStatusCode.OK ? ExitCode.Done
                : answer.StatusCode == HttpStatusCode.ServiceUnavailable ? ExitCode.Degraded
                : throw new UsageException($"{address} answered {(int)answer.StatusCode}: that is no HTTP port of a node. Name it with --http.");
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !context.Stop.IsCancellationRequested))
        {
            return await ErrorReport.UnreachableAsync(
                context.Output, $"No node answered at {address}. Start one there, or name another's HTTP port with --http{SchemeHint(e, address)}. ({e.GetBaseException().Message})");
        }
    }

    // Something listens there, and what it said is none of what was asked for.
    private static string SchemeHint(Exception failure, Uri address) => failure switch
    {
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } =>
            ", that of one without TLS as http://…; the certificate of one with TLS has to be valid, for this name, and signed by --authority, or by who the system trusts",
        HttpRequestException { HttpRequestError: HttpRequestError.ResponseEnded or HttpRequestError.InvalidResponse } when address.Scheme == Uri.UriSchemeHttp =>
            ", that of one with TLS as https://…",
        _ => "",
    };

    private static void Show(Output output, HttpStatusCode code, string text)
    {
        var ready = code == HttpStatusCode.OK;
        if (!output.Json)
        {
            output.WriteLine($"{(ready ? "well" : "not well")}: {text.Trim()}");
            return;
        }

        output.WriteJson(w =>
        {
            w.WriteStartObject();
            w.WriteBoolean("healthy", ready);
            w.WriteString("status", StatusOf(text));
            w.WriteEndObject();
        });
    }

    private static string StatusOf(string text)
    {
        try
        {
            using var json = JsonDocument.Parse(text);
            return json.RootElement.TryGetProperty("status", out var status) ? status.ToString() : "";
        }
        catch (JsonException)
        {
            return "";
        }
    }
}
