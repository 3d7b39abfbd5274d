// Tells the service manager how far the node is: systemd's Type=notify, one datagram for each, to the socket that the variable
// NOTIFY_SOCKET names. Without the variable nobody wants to hear it.
using System.Net.Sockets;
using System.Text;

namespace EventVault.Node;

/// <summary>What a service manager is told. Thread-safe.</summary>
internal static class ServiceNotice
{
    /// <summary>The node serves.</summary>
    public const string Ready = "READY=1";

    /// <summary>The node has begun to stop.</summary>
    public const string Stopping = "STOPPING=1";

    /// <summary>How long a full socket may hold the node up, in milliseconds: the manager reads it at once, or has a problem of its own.</summary>
    private const int SendTimeoutMs = 1000;

    /// <summary>Sends a notice. That it can't be sent is told on stderr and changes nothing else.</summary>
    /// <param name="state">One of the constants.</param>
    public static void Send(string state)
    {
        if (Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is not { Length: > 1 } path)
        {
            return;
        }

        try
        {
            // `@` stands for the zero byte that begins the name of a socket without a file.
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { SendTimeout = SendTimeoutMs };
            socket.Connect(new UnixDomainSocketEndPoint(path[0] == '@' ? $"\0{path[1..]}" : path));
            socket.Send(Encoding.UTF8.GetBytes(state));
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            Console.Error.WriteLine($"The service manager can't be told {state} at {path}, which NOTIFY_SOCKET names: {e.Message}. It may take the node for one that doesn't start.");
        }
    }
}
