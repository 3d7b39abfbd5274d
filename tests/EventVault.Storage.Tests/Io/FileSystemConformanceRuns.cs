using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Io;

public sealed class NativeConformanceTests() : FileSystemConformance(new NativeFileSystem(), AppContext.BaseDirectory);

/// <summary>On tmpfs, which knows no disk to go past the page cache to.</summary>
public sealed class NativeInMemoryConformanceTests() : FileSystemConformance(new NativeFileSystem(), "/dev/shm");

public sealed class SimulatedConformanceTests() : FileSystemConformance(new SimulatedFileSystem(), "/");

public sealed class SimulatedPlainConformanceTests() : FileSystemConformance(new SimulatedFileSystem(tracksLosses: false), "/");
