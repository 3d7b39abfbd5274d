using System.Diagnostics;
using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Security.Cryptography;

namespace EventVault.Raft.Tests;

/// <summary>
/// Consensus is a function of its inputs: the same ones give the same outputs, in a simulation as in a node. So its assembly
/// can't even name what would make it differ: files, sockets, clocks, threads, tasks, randomness that is not its own.
/// </summary>
public sealed class PurityTests
{
    /// <summary>Namespaces of which nothing may be used, except the types behind.</summary>
    private static readonly (string Namespace, string[] Except)[] Namespaces =
    [
        ("System.IO", ["Path"]), // Invariant cuts the folder off a file's name.
        ("System.Threading", []),
        ("System.Timers", []),
        ("System.Net", []),
        ("System.Security.Cryptography", []),
        ("System.Diagnostics", ["DebuggerBrowsableAttribute", "DebuggerBrowsableState", "DebuggableAttribute", "StackTraceHiddenAttribute", "CodeAnalysis"]),
        ("System.Linq", []), // Pure, but it allocates.
    ];

    private static readonly string[] Types =
    [
        "System.Console", "System.Environment", "System.TimeProvider", "System.HashCode", "System.GC", "System.AppContext",
        "System.Runtime.CompilerServices.IAsyncStateMachine", "System.Runtime.CompilerServices.AsyncStateMachineAttribute",
        "System.Runtime.InteropServices.Marshal", "System.ThreadStaticAttribute", "System.TimeZoneInfo",
    ];

    private static readonly string[] Members =
    [
        "System.DateTime.get_Now", "System.DateTime.get_UtcNow", "System.DateTime.get_Today",
        "System.DateTimeOffset.get_Now", "System.DateTimeOffset.get_UtcNow",
        "System.Guid.NewGuid", "System.Guid.CreateVersion7", "System.Random.get_Shared", "System.Random..ctor",
        "System.String.GetHashCode", "System.Object.GetHashCode", "System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode",
    ];

    [Fact]
    public void Consensus_names_nothing_that_is_not_a_function_of_its_inputs() =>
        Assert.Equal([], Impurities(typeof(RaftCore).Assembly).Order());

    [Fact]
    public void Consensus_keeps_nothing_outside_of_its_objects()
    {
        var kept = typeof(RaftCore).Assembly.GetTypes()
            .Where(type => !type.Name.StartsWith('<'))
            .SelectMany(type => type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
            .Where(field => !field.IsLiteral && !field.IsInitOnly)
            .Select(field => $"{field.DeclaringType}.{field.Name}");
        Assert.Equal([], kept);
    }

    [Fact]
    public void Consensus_references_nothing_but_the_runtime() =>
        Assert.All(typeof(RaftCore).Assembly.GetReferencedAssemblies(), name => Assert.StartsWith("System.", name.Name, StringComparison.Ordinal));

    /// <summary>What a scan must find is in <see cref="Impure"/>, in this very assembly.</summary>
    [Theory]
    [InlineData("System.IO.File")]
    [InlineData("System.Threading.Monitor")]
    [InlineData("System.Threading.Lock")]
    [InlineData("System.Threading.Thread")]
    [InlineData("System.Threading.Timer")]
    [InlineData("System.Threading.Tasks.Task")]
    [InlineData("System.Net.Sockets.Socket")]
    [InlineData("System.Diagnostics.Stopwatch")]
    [InlineData("System.Console")]
    [InlineData("System.Environment")]
    [InlineData("System.Security.Cryptography.RandomNumberGenerator")]
    [InlineData("System.DateTime.get_UtcNow")]
    [InlineData("System.DateTime.get_Now")]
    [InlineData("System.Guid.NewGuid")]
    [InlineData("System.Random.get_Shared")]
    [InlineData("System.Random..ctor")]
    [InlineData("System.Runtime.CompilerServices.IAsyncStateMachine")]
    public void A_scan_finds(string impurity) => Assert.Contains(impurity, Impurities(typeof(PurityTests).Assembly));

    private static HashSet<string> Impurities(Assembly assembly)
    {
        using var file = File.OpenRead(assembly.Location);
        using var executable = new PEReader(file);
        var metadata = executable.GetMetadataReader();
        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (var handle in metadata.TypeReferences)
        {
            var (space, name) = NameOf(metadata, handle);
            if (Types.Contains($"{space}.{name}") || Namespaces.Any(n => IsIn(space, n.Namespace) && !n.Except.Contains(name) && !n.Except.Contains(space[(space.LastIndexOf('.') + 1)..])))
            {
                found.Add($"{space}.{name}");
            }
        }

        foreach (var handle in metadata.MemberReferences)
        {
            var member = metadata.GetMemberReference(handle);
            if (member.Parent.Kind == HandleKind.TypeReference)
            {
                var (space, name) = NameOf(metadata, (TypeReferenceHandle)member.Parent);
                var full = $"{space}.{name}.{metadata.GetString(member.Name)}";
                if (Members.Contains(full))
                {
                    found.Add(full);
                }
            }
        }

        foreach (var handle in metadata.MethodDefinitions)
        {
            var method = metadata.GetMethodDefinition(handle);
            if ((method.Attributes & MethodAttributes.PinvokeImpl) != 0)
            {
                found.Add($"native {metadata.GetString(method.Name)}");
            }
        }

        return found;
    }

    private static bool IsIn(string space, string folder) => space == folder || space.StartsWith(folder + ".", StringComparison.Ordinal);

    private static (string Namespace, string Name) NameOf(MetadataReader metadata, TypeReferenceHandle handle)
    {
        var type = metadata.GetTypeReference(handle);
        return (metadata.GetString(type.Namespace), metadata.GetString(type.Name));
    }

    /// <summary>All that is forbidden; never called.</summary>
    private static class Impure
    {
        private static readonly Lock Gate = new();

        public static async Task Everything()
        {
            await Task.Delay(1);
            using var timer = new Timer(_ => { }, null, 0, 0);
            using var socket = new System.Net.Sockets.Socket(System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);
            lock (new object())
            {
                new Thread(() => Console.WriteLine(Environment.TickCount64)).Start();
            }

            lock (Gate)
            {
                File.WriteAllText(DateTime.UtcNow.ToString(), DateTime.Now.ToString() + Guid.NewGuid());
            }

            RandomNumberGenerator.Fill(new byte[Random.Shared.Next() + new Random().Next()]);
            Console.WriteLine(Stopwatch.GetTimestamp());
        }
    }
}
